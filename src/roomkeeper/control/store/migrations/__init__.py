"""The steps from an empty database to `tables`, one file each; never edited once released, only added to."""
