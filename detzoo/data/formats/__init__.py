"""The formats of data sets that detzoo reads: one file each, and ``table.py`` that lists them.

A new format is a file with a :class:`~detzoo.data.formats.base.Format` and a line in the table. Its
``find`` tells by names and first lines which splits a place holds; its reader yields an
:class:`~detzoo.data.formats.base.ImageRecord` per image and leaves the rest to
:func:`~detzoo.data.formats.build.build_dataset`.
"""
