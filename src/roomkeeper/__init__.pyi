from roomkeeper.agent.ending import Ended as Ended
from roomkeeper.agent.journal import Codec as Codec
from roomkeeper.agent.kept import Kept as Kept
from roomkeeper.agent.kept import end as end
from roomkeeper.agent.presence import Returned as Returned
from roomkeeper.agent.resumed import Resumed as Resumed
from roomkeeper.agent.start import start as start
from roomkeeper.agent.wrap import wrap as wrap
from roomkeeper.wire.room_config import room_config as room_config

__version__: str
_LAZY: dict[str, str]
