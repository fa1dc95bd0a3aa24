from roomkeeper.agent.wrap import wrap as wrap

__version__: str
