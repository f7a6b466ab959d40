"""Show every use case whose files are wrong as an import error of this file; the DAGs of the others are not touched.

This file defines no DAG. It is here because a DAG file of a broken use case cannot be: the error tells file, key,
reason and the nearest correct spelling, and goes away within a minute of the file being put right.
"""

from perennial.catalog import broken_use_cases
from perennial_airflow.broken import show

show(broken_use_cases())
