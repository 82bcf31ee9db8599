"""Seeded faults: mistakes of real authors in drivers and card; does the conformance suite notice them?"""
