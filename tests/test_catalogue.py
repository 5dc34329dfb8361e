"""The real catalogue: every file has one source, and what profiles share is one thing."""

from __future__ import annotations

from babblefish.engine import catalogue, models


def test_every_file_of_the_hub_is_in_its_models_folder_and_hashed_or_not_by_intent():
    for weights in models.CATALOGUE.values():
        for model in weights.every_model:
            assert len({file.path.rpartition("/")[0] for file in model.files}) == 1
            for file in model.files:
                assert bool(file.parts) != bool(file.hub)
                assert len(file.sha256) in (0, 64) and file.size > 0
                if file.hub and file.hub.revision != "main":
                    assert len(file.hub.revision) == 40 and file.sha256 == file.sha256.lower()
    unpinned = {
        file.hub.repo.partition("-")[0]
        for weights in models.CATALOGUE.values() for model in weights.every_model
        for file in model.files if file.hub and file.hub.revision == "main"
    }  # fmt: skip
    assert unpinned == {"facebook/mms"}


def test_profiles_share_what_they_share():
    for weights in (catalogue.WHISPER_NLLB, catalogue.SEAMLESS):
        assert set(catalogue.COMPACT.models) <= set(weights.models)
    assert catalogue.WHISPER_BASE in catalogue.WHISPERS
