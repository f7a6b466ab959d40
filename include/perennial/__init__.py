"""Perennial: keeps machine-learning models fresh in production; this library runs without Airflow."""
