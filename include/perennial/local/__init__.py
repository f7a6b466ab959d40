"""The embedded stack: Postgres, Airflow, MLflow and a mail catcher under one supervisor, without Docker or root."""
