"""Pages inside Airflow's user interface."""
