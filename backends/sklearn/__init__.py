"""scikit-learn: `MLPClassifier` and, in native mode, `LogisticRegression`."""
