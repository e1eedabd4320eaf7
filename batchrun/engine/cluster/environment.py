"""Which environment variables travel to the cluster: keys and settings of the task, not those of this machine."""

import re
from collections.abc import Mapping

_OF_A_MACHINE = re.compile(
    r"_|CI|COLUMNS|DISPLAY|EDITOR|HOME|HOST(NAME)?|LINES|LOGNAME|LS_COLORS|MAIL|MANPATH|(OLD)?PWD|PAGER|PATH|SHELL|SHLVL"
    r"|TE?MP|TERM|TMPDIR|TZ|USER|VISUAL|PYTHON.*|LANG(UAGE)?"
    r"|(BATCHRUN|CONDA|CUDA|DASK|DBUS|DYLD|GITHUB|GPG|INVOCATION|KUBERNETES|LC|LD|LSB|NVIDIA|OMP|PBS|PIP|PYTEST|SBATCH"
    r"|SGE|SLURM|SSH|SYSTEMD|VIRTUAL|XDG)_.*"
)


def worth_sending(environment: Mapping[str, str]) -> dict[str, str]:
    """What a task may need and a worker may lack. There it counts only where the worker has no such variable."""
    return {name: value for name, value in environment.items() if not _OF_A_MACHINE.fullmatch(name)}
