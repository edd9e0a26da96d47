"""What a campaign of simulated failures shows: ours beside the textbook policies, class by class.

Only figures, tables and pictures live here. Who runs the worlds is `bench/campaign.py`.
"""
