# Not built or run by the makers of parley: no container engine was at hand. It runs the same commands as the README.
FROM python:3.11-bookworm
RUN apt-get update && apt-get install --yes --no-install-recommends git make && rm -rf /var/lib/apt/lists/*
RUN useradd --create-home parley
USER parley
WORKDIR /home/parley/parley
COPY --chown=parley . .
RUN make setup
ENTRYPOINT ["make"]
CMD ["repro"]
