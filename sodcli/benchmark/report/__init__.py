"""An evaluation as a table, JSON, CSV, xlsx and one page of HTML."""
