"""What runs a network: from pictures, clips and streams to saliency."""
