"""Run networks: pictures, clips and streams in, saliency out."""
