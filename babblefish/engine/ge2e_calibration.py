"""What the similarity of two GE2E voiceprints is worth, measured on real voices.

Written by ``python -m bench.identification --write``, from 186316 pairs of utterances of
33 speakers: readers of LibriSpeech and of five other languages as ../shared/speech has
them, people in the AMI meetings that pyannote.audio's source package carries, and the readers of
f5-tts's examples; as recorded, by telephone, in noise, and across rooms.
"""

from __future__ import annotations

from babblefish.engine.stages import Calibration, LikelihoodRatio

_AVERAGE = """
55 12 19 0 15 24 16 34 28 90 81 73 60 41 8 42 91 38 8 7 76 62 0 0 1 75 7 10 0 4 76 47 37 11 38
41 65 4 44 16 1 24 44 47 33 22 5 34 43 9 0 68 0 0 6 46 29 1 73 7 12 14 72 38 71 3 60 49 0 0 0 29
6 90 21 21 0 27 44 70 3 2 83 43 2 18 6 61 1 112 49 0 4 17 11 0 29 0 1 0 7 1 43 54 72 30 21 29 2
77 0 46 22 81 17 0 42 11 17 30 54 52 54 44 48 71 46 116 62 2 73 3 41 58 64 54 39 6 64 37 0 3 78
21 38 22 51 1 77 50 63 29 1 9 24 83 6 20 67 46 50 2 56 47 36 52 39 63 72 60 0 3 19 44 1 40 28 51
30 21 77 3 22 39 25 0 1 60 2 9 27 53 0 82 0 43 30 71 32 52 62 34 23 10 0 11 19 45 9 81 6 2 92 48
0 30 0 33 81 1 59 27 2 0 40 71 65 46 0 0 19 0 11 0 0 43 47 64 71 94 74 31 9 141 44 57 82 33 47
51 4 67 58 1 30 0
"""
"""voiceprint of the average speaker, in thousandths"""

GE2E = Calibration(
    tuple(int(number) / 1000 for number in _AVERAGE.split()),
    LikelihoodRatio(
        curve=13.859, slope=9.012, slope_short=-1.993, offset=-4.115, offset_short=1.274
    ),
    LikelihoodRatio(
        curve=11.976, slope=14.357, slope_short=-4.099, offset=-3.027, offset_short=1.02
    ),
)
