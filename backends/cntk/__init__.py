"""CNTK 2.7, of 2019: `Trainer.train_minibatch`, in a Python 3.6 that the far adapter drives."""
