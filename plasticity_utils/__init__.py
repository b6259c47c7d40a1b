"""Does a language model relearn a concept after the neurons that carry it are cut out?

`run_experiment(RunConfig(concept="locations"))` answers for one model, concept and seed. The
packages stand in the order of the method; see the book's method page. The public names stand in
`__init__.pyi`; each is imported when it is first asked for, since the whole package takes seconds.
"""

import lazy_loader

from plasticity_utils.garbage import uncollected

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__getattr__ = uncollected()(__getattr__)
