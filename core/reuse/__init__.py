"""What a run never computes twice: a model cut in two (`split`), what cannot change kept (`features`) and proved in every pass (`partition`)."""
