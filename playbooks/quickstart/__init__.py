"""Meridian Supply, the sample company: its portal, documents, experts and recordings.

Everything here is fictional. The portal and the documents are made from
:mod:`playbooks.quickstart.company`; what is right work is written a second time, by hand,
in :mod:`playbooks.quickstart.truth`, so that neither can hide a mistake of the other.
"""
