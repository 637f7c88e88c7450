"""What a detector gets right and wrong on a data set."""

from detzoo.analyze.page import to_json, write_report
from detzoo.analyze.pictures import Album
from detzoo.analyze.run import Analysis, analyze

__all__ = ["Album", "Analysis", "analyze", "to_json", "write_report"]
