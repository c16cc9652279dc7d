"""ReID data sets: names and lists in, samples out. No picture is opened here; `train.crop_cache` does that.

One module a data set; `registry` knows them all by name, with their splits. A reader checks the counts that its data
set is known to have, and names the first file it cannot place.
"""
