"""How close unlearning is to retraining: the gate, the correction, the benchmark."""
