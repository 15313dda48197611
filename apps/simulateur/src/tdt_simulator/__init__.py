"""A tiers de télétransmission and its préfecture for the lab, which answer as S²LOW does."""
