"""Airflow runs every file in this folder; this one shows it the plugin, `.airflowignore` hides the rest."""

from perennial_airflow.ui.plugin import PerennialPlugin as PerennialPlugin
