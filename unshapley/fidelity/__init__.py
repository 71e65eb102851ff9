"""How close unlearning is to retraining: the fidelity check, the correction, the benchmark."""
