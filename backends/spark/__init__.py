"""Spark MLlib: `MultilayerPerceptronClassifier` and, in native mode, `LogisticRegression`."""
