"""The releases of a running experiment, side by side: each arm follows its own channel, or keeps its own release."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from bentos.current import Current
from bentos.settings import Settings
from cortex_rec.events.protocol import EventStore
from cortex_rec.experiments.config import Experiment, load_experiment


@dataclass(frozen=True)
class Arms:
    """An experiment, and by the name of each arm what answers for it."""

    experiment: Experiment
    currents: Mapping[str, Current]

    @classmethod
    def load(cls, settings: Settings, current: Current, events: EventStore) -> Self:
        """Load each release that is not served yet, and begin to watch its channel.

        Parameters
        ----------
        settings
            With the file of the experiment.
        current
            What serves whoever takes part in nothing; an arm with the same release, or channel, is answered from it too.

        Raises
        ------
        ConfigError
            If the file is not as it must be.
        ArtifactError
            If a release is damaged or missing.
        """
        assert settings.experiment is not None
        experiment = load_experiment(settings.experiment)
        by_release = {settings.release: current}
        for arm in experiment.arms:
            if arm.release not in by_release:
                by_release[arm.release] = Current(settings.model_copy(update={"release": arm.release}), events)
                by_release[arm.release].watch()
        return cls(experiment, {arm.name: by_release[arm.release] for arm in experiment.arms})
