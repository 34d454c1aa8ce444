"""Word lists for redaction: names to call people by, and words that are no sign of a person by themselves."""

# First names of every gender that are no words of English. Numbered when they run out.
_PSEUDONYMS = """
Robin Alexis Ariel Aubrey Avery Blair Cameron Carey Casey Charlie Corey Dana Devon Emery Finley Frankie Harley
Hayden Jamie Jesse Jordan Jules Kelly Kendall Kerry Kim Lee Leslie Logan Lou Mackenzie Marley Mickey Morgan Nicky
Noel Parker Payton Perry Quinn Reese Remy Riley Rowan Rudy Sasha Shannon Shelby Sidney Skyler Spencer Stevie Tatum
Toni Tracy Val Vivian Whitney
"""

_ORDINARY = """
about all and any are art ask bad bar bed been best big boy but bye can car cat come cool day did dog done dont
down dude eat end every fan far fine first for free from fun game get girl give god gone good got great guess guy
guys had has have hello help her here hey him his home hot how its just keep kid know last later let life like line
live lol long look lot love low luck man many max maybe more most much must name need never new next nice night none
not nothing now off old one only other our out own part people phone pic play please real red right run sad same say
see she should show sir some soon sorry still stop such sun sure take talk team tell test than thanks that the them
then there they thing think this time today too top true try two use very want was way week well were what when
where which who why win with word work world would yeah year yes yet you your email

admin agent anon anonymous anyone bot boss bro channel chat chief coder deleted dev developer discord doctor
everyone friend gamer group guest helper hero host king lady leader lord master member mod moderator mom nobody
owner person player prince princess queen server somebody someone staff student support system teacher unknown user
aunt auntie brother cousin dad father grandma grandpa mama mother mum papa sister uncle
"""

_NAME_WORDS = """
amber angel april august autumn bill black blue brook brown bush chance chase christian cliff crystal dawn dean drew
east faith field forest fox frank ginger grace grant gray green hall hill hope hunter jade jewel joy july june lake
lance little mark may melody miles mill misty moon north olive page park patience pearl penny pike price ray rich
river rob rock rose ruby rusty sage sandy sky skip small south star stone storm sue summer trip wade ward west white
will winter wolf wood woods young
"""

_HANDLES = """
angry baby bear bird broken crazy cyber dark dead death demon devil dragon fire flame fish ghost gold golden happy
heart ice iron killer lazy legend light lost lover magic metal mister music ninja orange panda pink pixel potato
power pro purple rain rainbow shadow silent silver smile snow space spicy super sweet tea tiger toxic water wild
witch wizard xxx yellow zero

van von der den del das dos los les bin ibn und die que por con mit pour avec une ein eine
"""

PSEUDONYMS = _PSEUDONYMS.split()

# Words that are first or last names too: redacted where they are written large inside a sentence.
NAME_WORDS = frozenset(_NAME_WORDS.split())

# With them, the commonest words of chat, words for anybody, favourites of handles, small words of other languages.
# A name that is one of them is redacted only where it is clearly a name.
ORDINARY = frozenset([*_ORDINARY.split(), *_HANDLES.split()]) | NAME_WORDS
