"""How soon the user learns that a stock agent has ended the talk, beside what happens without a control plane."""
