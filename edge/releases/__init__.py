"""Releases on the edge: kept on its disk, prepared beside what runs, swapped in, confirmed or taken back."""
