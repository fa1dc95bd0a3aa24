"""Acts when it is imported: the process and all that it forks ignore SIGTERM. Named in `preload_modules` of the server.

A service manager, a container or Ctrl-C signals the whole process group. livekit-agents means its jobs to ignore that,
since their parent ends them; but under Linux' forkserver it comes too late for that (1.8.9, `job_proc_lazy_main.py`
looks at the process's name before the fork has set it), and the forkserver itself would die.

Only SIGTERM: `multiprocessing` itself has the forkserver and its children ignore SIGINT.
"""

from __future__ import annotations

import signal

signal.signal(signal.SIGTERM, signal.SIG_IGN)
