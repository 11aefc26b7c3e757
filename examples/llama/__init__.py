"""The parts of train_llama.py: options, text, model, training loop, checkpoints, plot and sample."""
