"""Apache Airflow provider that deletes and repairs data in Adobe."""

__version__ = "0.1.0"
