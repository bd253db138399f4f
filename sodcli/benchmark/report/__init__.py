"""Reports of an evaluation: tables, JSON, spreadsheets, figures, and a page of HTML."""
