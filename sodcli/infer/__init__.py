"""The loops of ``sod infer``: photos, films and cameras."""
