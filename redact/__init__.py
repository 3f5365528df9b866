"""Personal data out of documents, pages and pixels, and the proof that it is out."""
