"""Airflow imports this module in every component when it starts; where tasks are forked, it makes them warm."""

from perennial_airflow.warm import preload_where_tasks_are_forked

__all__: list[str] = []

preload_where_tasks_are_forked()
