"""gantool: config-driven training of generative adversarial networks."""
