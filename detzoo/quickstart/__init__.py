"""The main job on data of its own: make scenes, train, evaluate, show."""
