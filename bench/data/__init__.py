"""Finds, downloads and checks data sets, and writes them where a worker reads them."""
