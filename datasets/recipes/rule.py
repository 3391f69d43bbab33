"""The floor without a model: what two word lists and a page of regular expressions make of ingredient lines.

Written on the train rows alone. An arm that does not beat this is not worth a model.
"""

import re

UNITS = """
cup c tablespoon tbsp tbs tb t teaspoon teasp tsp dessertsp ounce oz pound lb gram g gm gr kg kilo ml l ltr litre
liter cl dl pint pt quart qt gallon can tin jar bottle pack packet pkg pkt package pouch bag box carton tub tube
sachet stick clove head bunch sprig stalk rib knob piece pc ea slice rasher handful pinch dash splash drizzle glug
squeeze sprinkle dollop blade pod bit lot few couple sheet block fillet inch cm mm strip wedge ear bulb punnet thumb
scoop portion drop dozen doz spoon spoonful loaf heap touch chunk floret envelope shot part scant heaping heaped
rounded level generous good big large lg small sm medium med mini tiny grain grind strand bundle squirt mug glass
thick thin fat nice ripe soft firm lean light mild live wide smooth stale
"""
WORDS = """
a an the of about approx each x more extra half quarter one two three four five six eight ten twelve several other any
your our this just some all per bowl chopped minced diced sliced grated shredded crushed melted softened toasted
roasted roast cooked boiled hard-boiled soft-boiled frozen canned tinned fresh freshly dried dry ground boneless
skinless peeled finely roughly coarsely lightly well cold warm hot boiling lukewarm iced room-temperature unsalted
salted organic free-range low-fat low-sodium full-fat skim whole semi-skimmed kosher sea fine coarse flaky
extra-virgin virgin all-purpose plain granulated caster raw uncooked leftover packed sifted beaten cubed halved
trimmed washed drained soaked crumbled picked pitted seeded deseeded cored mashed smashed cracked squeezed optional
opt favourite favorite fave quality best unsweetened sweetened shelled pureed slivered flaked rotisserie seasoned
liquid little lil baby mature sharp vegan strong dark russet elbow
"""
DROPPED = {*UNITS.split(), *WORDS.split()}
KEEP = {"molasses", "hummus", "couscous", "asparagus", "oats", "swiss", "citrus", "watercress", "grits", "bitters"}
NOT_FOOD = re.compile(
    r":\s*$|^(serves|makes|preheat|see|you|note|yield|portion)\b|skewer|foil|paper|\btins? to\b", re.I
)
AMOUNT = r"(?:\d+(?:[.,/-]\d+)*[a-z]*|[½¼¾⅓⅔⅛⅜⅝⅞])"
# Brackets and headings go, shorthand is written out, words that decide what is bought are kept in one piece.
REWRITES = (
    (r"\([^)]*\)?|\[[^]]*\]|^[^:]*:(?=.*[a-z]{4})", " "),
    (r"\bs\s?[&+n]\s?p\b", "salt and pepper"),
    (r"\bevoo\b", "olive oil"),
    (r"\ba\.?p\.? flour", "flour"), (r"\bpb\b", "peanut butter"),
    (r"\b(\w+) or (\w+) (stock|broth|mince)", r"\1 \3 or \2 \3"),
    (r"\bcream of ", "cream_of_"), (r"\bbicarbonate of soda", "bicarbonate_of_soda"),
    (r"\bdark (chocolate|soy)", r"dark_\1"),
    (r"\b(?:grated |finely )?(?:juice|zest|rind)(?: (?:and|&|\+) (?:juice|zest|rind))? (?:of|from)\b", " "),
    (r"\b(ground|minced) (beef|pork|lamb|turkey|chicken|meat)", r"\1_\2"), (r"\b(condensed)\b", r"_\1"),
    (r"\b(?:red|yellow|white|brown) (?=onions?\b)|\b(?:red|green|yellow) (?=bell pepper|chil|capsicum)", ""),
    (r"\bwhite sugar", "sugar"),
    (r"\b(basil|mint|coriander|parsley|sage|thyme|cilantro) lea(?:f|ves)|\b(cumin|fennel) seeds?", r"\1\2"),
    (r"\b(cheddar|parmesan|mozzarella|feta|salmon|cod|fish) (?:cheese|fillets?)", r"\1"),
    (r"\b(?:for|if|as|in|at|on|from|cut|mixed|until|to \w+ing|to [a-z]+|w/)\b(?! \d).*", ""),
    (r"[-–—→]\s.*| \b(?:taste|serve)\b.*", ""),
)  # fmt: skip


def singular(word: str) -> str:
    """The singular of an English noun by its ending."""
    if word in KEEP or len(word) < 4 or word.endswith(("ss", "us", "is")):
        return word
    for end, one in (
        ("leaves", "leaf"),
        ("llies", "lli"),
        ("ies", "y"),
        ("oes", "o"),
        ("ches", "ch"),
        ("shes", "sh"),
        ("s", ""),
    ):
        if word.endswith(end):
            return word[: -len(end)] + one
    return word


def names(line: str) -> list[str]:
    """The ingredients of one line."""
    line = line.lower().replace("’", "'")
    for pattern, instead in REWRITES:
        line = re.sub(pattern, instead, line)
    first, *notes = re.split(r"[,;]", line)
    # What follows a comma is a note, unless it has an amount of its own or the line is a bare list.
    more = [n for n in notes if re.match(rf"\s*(?:{AMOUNT}|pinch|few|dash)", n)]
    if not re.search(r"\d|[½¼¾]", line) and not re.search(r"(?:ed|ly|[a-z]n)\b", " ".join(notes)):
        more = notes
    found: list[str] = []
    for part in re.split(r"\b(?:and/or|and|n|or|plus|with)\b|&|\+|/(?=\s*\S)|[,;]", ",".join([first, *more])):
        words = [w.strip(".'!?*:-\"") for w in re.sub(AMOUNT, " ", part).split()]
        words = [w for w in words if w and w not in DROPPED and singular(w) not in DROPPED]
        if words:
            found.append(" ".join([*words[:-1], singular(words[-1])]).replace("_", " ").strip())
    return found


def extract(input: dict[str, str]) -> list[str]:
    """The generic ingredient names of a recipe, each once, in order of first appearance."""
    lines = [line for line in input["ingredients"].splitlines() if line.strip() and not NOT_FOOD.search(line.strip())]
    return list(dict.fromkeys(name for line in lines for name in names(line)))
