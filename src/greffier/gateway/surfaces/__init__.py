"""One module per family of endpoints: from an exchange to the pipeline and back."""
