"""HTTP: one folder per dialect, one module per endpoint. JSON and streaming state stay here; arrays never come here."""
