"""The Airflow glue: the only code of this project that imports airflow."""
