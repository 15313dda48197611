"""Agent that sends a commune's acts and PES flows to its tiers de télétransmission (TdT), exactly once."""
