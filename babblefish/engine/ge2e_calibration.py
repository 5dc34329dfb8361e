"""What the similarity of two GE2E voiceprints is worth, measured on real voices.

Written by ``python -m bench.identification --write``, from 183572 pairs of utterances of
36 speakers: readers of LibriSpeech and of five other languages as ../shared/speech has
them, people in the AMI meetings that pyannote.audio's source package carries, and the readers of
f5-tts's examples; as recorded, by telephone, in noise, and across rooms.
"""

from __future__ import annotations

from babblefish.engine.stages import Calibration, LikelihoodRatio

_AVERAGE = """
55 14 21 0 11 22 16 31 29 80 79 73 54 39 9 33 91 37 7 7 70 68 0 0 1 71 9 6 0 0 81 47 39 13 36 41
64 4 39 19 1 26 43 46 37 19 5 33 42 9 0 72 0 0 3 45 32 1 71 6 14 19 68 38 67 2 57 51 0 0 0 26 7
89 19 19 0 29 48 72 3 2 78 42 2 13 6 59 1 111 52 0 3 12 8 0 28 0 0 0 6 0 46 53 70 30 22 30 3 82
0 47 19 81 18 0 45 10 20 27 51 51 55 41 51 71 50 115 63 2 69 2 45 58 62 55 38 4 65 38 0 0 81 22
40 25 52 1 82 52 66 32 1 11 24 83 4 21 62 47 46 2 57 49 35 54 40 59 73 56 0 2 16 45 1 39 25 49
33 21 75 3 20 39 24 0 3 61 2 8 30 52 0 78 0 41 34 70 31 48 58 33 21 7 0 11 18 51 9 74 7 1 91 48
0 28 0 35 74 1 56 28 1 0 40 65 66 42 0 0 24 0 10 0 0 39 44 65 63 100 79 35 8 133 42 64 80 27 49
43 3 64 54 0 31 0
"""
"""voiceprint of the average speaker, in thousandths"""

GE2E = Calibration(
    tuple(int(number) / 1000 for number in _AVERAGE.split()),
    LikelihoodRatio(
        curve=-3.824, slope=19.875, slope_short=-1.276, offset=-5.722, offset_short=1.097
    ),
    LikelihoodRatio(
        curve=4.396, slope=16.322, slope_short=-3.032, offset=-2.942, offset_short=0.731
    ),
)
