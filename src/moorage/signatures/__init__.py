"""Signatures of images, in cosign's formats: made at push, verified at pull."""
