"""``python -m moorage.distribution``: what ``moor registry`` starts."""

from moorage.distribution.main import main

if __name__ == "__main__":
    main()
