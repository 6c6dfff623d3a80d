"""The audit: which trait does this data set carry?"""
