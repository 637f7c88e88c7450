"""One function per V2 type: from its dictionary to our configuration.

Every module of this folder is imported here, so that its adapters are registered.
"""

import importlib
import pkgutil

for _module in pkgutil.iter_modules(__path__, f"{__name__}."):
    importlib.import_module(_module.name)
